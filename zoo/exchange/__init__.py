"""Networks that leave zoo: as plain PyTorch files, as ONNX, as exported programs. Floor 6."""
