"""Build requests from the examples in the OpenAPI document."""

from typing import Any


def request_example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return the request that Swagger UI shows for a schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return request_example(document, document["components"]["schemas"][name])
    if "properties" in schema:
        members = schema["properties"].items()
        return {name: request_example(document, one) for name, one in members}
    return schema["example"] if "example" in schema else schema["enum"][0]
