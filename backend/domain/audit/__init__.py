"""Who changed what: rows written by trigger in the transaction of the change, never by the application."""
