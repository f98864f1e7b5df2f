"""Every route of a running node, asked by schemathesis what its OpenAPI document allows and what it does not: never a 5xx."""
