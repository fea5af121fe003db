"""The PyTorch front end: modules and torch.export programs, quantised, become a `Graph`.

`thumbnet.compile` is the short way through it (compile.py). What it is made of: `quantize`
(quantize.py), `prepare_qat` and `convert` (qat.py), and `lower_program` (program.py). Everything
here needs torch and torchao: pip install 'thumbnet[torch]'.
"""
