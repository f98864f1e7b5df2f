"""证链 Zhenglian, the Python SDK: the one package of the project that is meant for other people's programs."""
