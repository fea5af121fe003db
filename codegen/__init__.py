"""TinyEngine's compiler: frontends -> graph -> passes -> schedule -> C."""
