"""How HTTP is done, once: who asks, what is asked, one transaction, one answer."""
