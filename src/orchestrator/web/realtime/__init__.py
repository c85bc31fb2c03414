"""Supabase Realtime's protocol, for clients that listen with `supabase.channel("wisely.events")`."""
