"""What one request, and one caller, may take of the service."""
