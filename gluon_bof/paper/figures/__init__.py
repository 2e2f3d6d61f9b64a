"""The paper's figures, one file each, with OPTIONS and draw(given)."""
