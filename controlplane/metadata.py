"""What every object has: strictness, a name and labels."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from controlplane.fields import AnyText, LabelKey, LabelValue, Namespace, ObjectName


class Model(BaseModel):
    """Strict, closed and frozen; names are camelCase outside. Null means absent, as in Kubernetes."""

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        populate_by_name=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict) and None in value.values():
            known = {field.alias for field in cls.model_fields.values()}
            return {k: v for k, v in value.items() if v is not None or k not in known}
        return value


class Metadata(Model):
    """Name and labels. What the API server adds is taken and ignored."""

    name: ObjectName = Field(description="Unique among the objects of its kind.")
    namespace: Namespace | None = Field(
        None, description="A route only sees providers of its own namespace. Default: `default`."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="For people and tools; routing uses `spec.labels`."
    )
    annotations: dict[LabelKey, AnyText] = Field(
        default_factory=dict, description="For people and tools."
    )
    uid: Any = Field(None, description="Set by the API server; ignored.")
    resource_version: Any = Field(None, description="Set by the API server; ignored.")
    generation: Any = Field(None, description="Set by the API server; ignored.")
    creation_timestamp: Any = Field(None, description="Set by the API server; ignored.")
    deletion_timestamp: Any = Field(None, description="Set by the API server; ignored.")
    deletion_grace_period_seconds: Any = Field(None, description="Set by the API server; ignored.")
    managed_fields: Any = Field(None, description="Set by the API server; ignored.")
    owner_references: Any = Field(None, description="Set by controllers; ignored.")
    finalizers: Any = Field(None, description="Set by controllers; ignored.")
    generate_name: Any = Field(None, description="Set by the API server; ignored.")
    self_link: Any = Field(None, description="Set by the API server; ignored.")
