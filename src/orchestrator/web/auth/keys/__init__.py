"""API keys: for programs that call the service without a person signed in."""
