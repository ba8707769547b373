"""Building of the layers, and deployment to AWS: the programs that make and `sam build` run.

Imports `stack`.
"""
