"""Tables: sessions that know their owner, and their migrations."""
