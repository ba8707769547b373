"""What callhooks costs: its functions on a cold start and warm, against what people would write instead."""
