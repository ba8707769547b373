"""What was promised, with something of AWS broken: the deployed template, its functions behind a faulty proxy."""
