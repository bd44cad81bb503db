"""iPXE's scripts, run as iPXE runs them: the commands that ours are made of, and no others.

state       what a run holds, what it needs of its machine, and how it can end
commands    one function a command
script      lines, `||`, `&&`, labels, and scripts that chain to scripts
"""
