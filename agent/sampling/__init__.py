"""The pacing loop of a device and the change filter."""
