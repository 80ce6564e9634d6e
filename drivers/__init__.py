"""Device drivers: one folder a protocol. Nothing here knows the agent."""
