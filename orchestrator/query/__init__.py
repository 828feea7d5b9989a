"""Questions in SQL: one SELECT over registered views of a store, with memory and time bounded."""
