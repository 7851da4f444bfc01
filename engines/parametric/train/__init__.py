"""What the parametric head is learnt from and how: families of heads, their samples, losses, the loop, fitting and metrics."""
