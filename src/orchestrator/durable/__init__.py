"""The durable engine: workflows, steps and the port that every engine keeps."""
