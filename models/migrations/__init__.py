"""The schema's history: numbered scripts, applied once each and in order."""
