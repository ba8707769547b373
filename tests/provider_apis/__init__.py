"""Local servers that implement the providers' documented APIs, with network faults on demand."""
