"""What a notebook shows and does not teach: its tables, pictures and sentences, one file a notebook.

`words` has the sentences that several need. Everything may be used here; nothing else imports it.
"""
