"""Pictures of a call plan, as SVG and Mermaid.

Imports only the layer.
"""
