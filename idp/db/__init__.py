"""Floor 2: the engine, transactions and all tables. Holds no rule; rooms above write the queries they need."""
