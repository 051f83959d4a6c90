"""Networks that leave zoo: as plain PyTorch files. Floor 6."""
