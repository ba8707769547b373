"""The template of the clone is read with everything that an operator may have added to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from callhooks_tools.stack import template
from callhooks_tools.stack.template import layers_of, read_template

EXTENDED = """
Globals: {Function: {Environment: {Variables: {}}, Layers: [!Ref CallhooksLayer]}}
Resources:
  OwnFunction:
    Properties:
      Layers:
        - arn:aws:lambda:eu-central-1:580247275435:layer:LambdaInsightsExtension:53
        - !Sub arn:${AWS::Partition}:lambda:${AWS::Region}:123456789012:layer:own:1
        - !Ref CallPlanLayer
      Body: !Transform {Name: AWS::Include, Parameters: {Location: s3://bucket/body.yaml}}
"""


def test_layers_from_elsewhere_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(EXTENDED)
    document = read_template(path)
    monkeypatch.setattr(template, "_template", lambda: document)
    assert layers_of("OwnFunction") == ["CallhooksLayer", "CallPlanLayer"]


def test_an_intrinsic_function_may_have_members(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(EXTENDED)
    body = read_template(path)["Resources"]["OwnFunction"]["Properties"]["Body"]
    assert body == {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://bucket/body.yaml"}}}
