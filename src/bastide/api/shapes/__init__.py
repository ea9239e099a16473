"""Shapes: the bodies that cross HTTP, as OpenAPI describes them; each carries an example.

Requests are checked against them and refuse unknown fields (the model wires excepted, whose clients send
many). Answers are written by the rooms' own `to_wire`; a test holds every answer against its shape.
"""
