"""Our own four agents and the instructor: by rules, and worded by a model where there is one."""
