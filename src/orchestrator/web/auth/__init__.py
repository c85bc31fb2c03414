"""Who is calling, and what that lets them do: tokens are read here and nowhere else."""
