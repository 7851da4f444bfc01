"""How true the parametric head is: heads whose truth is known, fitted, moved and meshed."""
