"""The one SQLite writer: the file, its lock, group commit, its migrations."""
