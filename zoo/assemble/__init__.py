"""Assembly: the only place where a recipe becomes objects, and where a TARGET becomes a network. Floor 7.

::

    file ─▶ resolve ───────▶ check ──────────▶ open_data ─▶ build ───▶ run
            Resolved:        Checked: that,    Dataset:     Built:     events, files, report
            one document     and one spec      uint8        Training
            with places      a section         splits

Modules are imported where they are needed: listing or resolving does not wait for torch.
"""
