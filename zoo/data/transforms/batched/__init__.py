"""Batched forms: transforms that run over whole batches on the device, drawn from the same distributions. Floor 2."""
