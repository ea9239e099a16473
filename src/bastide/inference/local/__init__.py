"""Local: what this process does by itself, without a server. Vectors, scores and answers of whole sentences.

Its modules are imported one by one: a process for calls alone never loads a runtime.
"""
