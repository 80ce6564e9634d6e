"""The agent's own state: status, metrics, systemd's watchdog."""
