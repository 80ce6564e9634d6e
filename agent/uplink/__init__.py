"""The way to the platform: enrolment, outbox loop, transport."""
