"""The demo: an order desk whose large refund and e-mail wait for a person. See `__main__`."""
