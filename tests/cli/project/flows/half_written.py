graph = (
