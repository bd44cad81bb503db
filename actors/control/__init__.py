"""The control process: carries workflows on, keeps promises, and gives up what is overdue.

actors     what messages call: advance a workflow, take in a site's report
relay      the outbox, drained to the queue
reaper     the one owner of all waits
rendering  an intent, made into the documents of a boot plan
"""
