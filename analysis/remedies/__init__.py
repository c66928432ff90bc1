"""``shiftscope stability``: a network before and after each remedy, on a folder of photographs."""
