"""Several processes that train one network: who one of them is (`comm`), the sums between them (`server`), and the launcher that
starts, watches and ends them (`launch`; `roles`, `keeper`, `processes`, `supervise`). No MXNet at import."""
