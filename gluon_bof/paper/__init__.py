"""The paper's tables and figures: what has to be run, what of it is there, and the pages that say so."""
