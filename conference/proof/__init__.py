"""What `conclave demo` and `conclave drill` share: adversaries, sabotage, processes, verdicts."""
