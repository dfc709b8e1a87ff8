"""`conclave drill`: a meeting with churn on purpose, which proves that its keys rotate."""
