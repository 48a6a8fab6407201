from flow import inputs, stamps

__all__ = ["inputs", "stamps"]
