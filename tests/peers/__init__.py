"""What README says of others, measured: the same small site on their sessions and on ours."""
