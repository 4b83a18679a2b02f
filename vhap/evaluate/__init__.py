"""How good pictures and heads are: measures that need nothing of the tracker."""
