"""Who gets what under limits: paths of budgets, and shadow prices of several limits."""
