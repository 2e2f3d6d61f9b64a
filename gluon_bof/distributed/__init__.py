"""Several processes that train one network: who one of them is (`comm`), what joins them and sums between them (`groups`, which
alone brings MXNet; `server`, `rendezvous`), what they leave for each other and for the launcher (`exchange`, `progress`), and the
launcher that starts, watches and ends them (`launch`; `words`, `roles`, `ports`, `keeper`, `processes`, `supervise`)."""
